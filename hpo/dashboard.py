"""optuna-dashboard over cached storage, on this machine's own address alone."""

from __future__ import annotations

import optuna
import optuna_dashboard
import waitress

from hpo.store import Store


def serve(store: Store, host: str, port: int) -> None:
    """Serve until interrupted. One process with threads: the cache is per process, and makes each poll cheap."""
    storage = optuna.storages.get_storage(store.storage)
    waitress.serve(optuna_dashboard.wsgi(storage), host=host, port=port, threads=4, ident=None)
