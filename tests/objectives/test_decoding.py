"""Images that cannot be read, found before a trial is: all of them at once, wherever they lie."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from drawings import draw, study
from PIL import Image

from hpo import fitting, init, spec
from hpo.errors import HpoError, SpecError
from objectives import decoding, folders, kinds, settings
from objectives.errors import DataError


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    return draw(tmp_path / "images")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_all_that_cannot_be_read_are_named(drawn: Path) -> None:
    decoding.check(folders.read(str(drawn)), "text", "FILE")
    _cut(drawn / "dark" / "1.png")
    (drawn / "light" / "0.png").write_text("no image")
    with pytest.raises(DataError) as caught:
        decoding.check(folders.read(str(drawn)), "text", "FILE")
    assert f"FILE: {drawn}/dark/1.png: is no image that can be read (image file is truncated" in str(caught.value)
    assert str(caught.value).endswith(f"; nor can 1 more be read: {drawn}/light/0.png")


def test_of_many_the_first_are_named(drawn: Path) -> None:
    for path in drawn.glob("*/*.png"):
        path.write_text("no image")
    with pytest.raises(DataError, match=r"dark/0\.png: .*; nor can 11 more be read: .*light/2\.png, \.\.\.$"):
        decoding.check(folders.read(str(drawn)), "text", "FILE")


def test_a_table_names_the_line_of_each(drawn: Path) -> None:
    (drawn / "rows.csv").write_text("id,text,label\n1,dark/0.png,a\n2,dark/no.png,b\n3,,b\n")
    chosen = study(drawn / "rows.csv", drawn)
    table = kinds.rows.read(chosen.data.path)
    with pytest.raises(DataError, match=r"rows\.csv, line 3: .*dark/no\.png: no such image; .*: .*rows\.csv, line 4: "):
        decoding.check(table, "text", "FILE")
    with pytest.raises(DataError, match=r"rows\.csv, line 4: .*: column 'text' is empty; name an image's file"):
        decoding.check(table.take([0, 2]), "text", "FILE")


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (8, 1, "is encrypted; unpack it, and pack it anew without a password"),
        (10, 99, "is packed by a method that is not read; pack it anew with deflate"),
        (16, 1, r"is damaged within its archive \(Bad CRC-32 for file 'a\.png'\); copy it again"),
    ],
)
def test_archives_that_hold_what_cannot_be_unpacked(
    drawn: Path, tmp_path: Path, offset: int, value: int, said: str
) -> None:
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(drawn / "dark" / "0.png", "a.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + offset] ^= value
    if offset < 16:  # said before each file, too
        content[offset - 2] ^= value
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"packed\.zip/a\.png: {said}$"):
        decoding.check(folders.listed(str(path), "FILE"), "text", "FILE")


def test_test_images_are_looked_at_before_a_study_is_made(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "test")
    (tmp_path / "photos.yaml").write_text(
        "study: photos\nobjective: {task: image-classification, data: {train: images, valid: images, test: test}}\n"
        "search: {training.learning_rate: [1e-3, 1e-2]}\ntrials: 2\n"
    )
    found = spec.load(tmp_path / "photos.yaml")
    fitting.check_images(found)
    _cut(tmp_path / "test" / "dark" / "0.png")
    with pytest.raises(SpecError, match=r"study photos: objective\.data\.text: .*test/dark/0\.png: is no image"):
        fitting.check_images(found)
    fitting.check_images(spec.load(spec.find("bert-news")))


def test_what_is_left_out_is_said(drawn: Path) -> None:
    assert folders.read(str(drawn)).notices == ()
    shutil.copy(drawn / "dark" / "0.png", drawn / "loose.png")
    (drawn / "README.md").write_text("of no concern")
    assert folders.read(str(drawn)).notices == (f"{drawn}: 1 image in no class's folder is left out: loose.png",)
    assert folders.listed(str(drawn), "FILE").notices == (f"{drawn}: 1 file is left out, no image by its name",)


def test_rows_of_a_folder_keep_their_numbers(drawn: Path) -> None:
    table = folders.read(str(drawn)).take([7])
    assert (table.column("text"), table.where(0)) == (["light/1.png"], "images, row 8")


def test_images_of_the_same_bytes_are_one_where_that_is_wanted(drawn: Path) -> None:
    shutil.copy(drawn / "dark" / "0.png", drawn / "dark" / "again.png")
    shutil.copy(drawn / "dark" / "1.png", drawn / "light" / "again.png")
    chosen = settings.replace(study(drawn, drawn), {"data.clean.deduplicate": True})
    splits = kinds.load(chosen.task, chosen.data, 1, test=True)
    assert sum(map(len, splits.tables)) == 12
    said = "clean.deduplicate removed 2 of 14 rows; 1 image stood with different labels: the first is kept"
    assert splits.notices == (f"{drawn}: {said}",)


def test_large_images_are_decoded_whole(drawn: Path) -> None:
    Image.new("RGB", (300, 300), 7).save(drawn / "dark" / "large.jpg")
    path = drawn / "dark" / "large.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"large\.jpg: is no image that can be read \(image file is truncated"):
        decoding.check(folders.read(str(drawn)), "text", "FILE")


def test_folders_of_splits_are_no_classes(drawn: Path) -> None:
    for name in ("train", "test"):
        shutil.copytree(drawn, drawn.parent / "sets" / name)
    sets = drawn.parent / "sets"
    with pytest.raises(
        HpoError, match=rf"sets has folders of splits, test, train, and no classes; run hpo init {sets}/tr"
    ):
        init.draft(str(sets))
    packed = shutil.make_archive(str(drawn.parent / "packed"), "zip", sets)
    with pytest.raises(
        HpoError, match=r"no classes; unpack it, run hpo init on its folder train, then write data\.train"
    ):
        init.draft(packed)
