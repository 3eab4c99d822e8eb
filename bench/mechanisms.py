"""The mechanisms of exactness, what disables each, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A mechanism, the one place in a file that is replaced to disable it, and its tests, as pytest names them."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


WORKER, CLAIMS, CONTROL = "tests/hpo/test_worker.py", "tests/hpo/test_claims.py", "tests/hpo/test_control.py"
DELIVERY, PARTS, RECALL = (
    "tests/hpo/test_delivery.py",
    "tests/objectives/test_parts.py",
    "tests/objectives/test_recall_trouble.py",
)
SCHEMA, CHECKPOINT = "tests/hpo/test_schema.py", "tests/objectives/test_checkpoint.py"
IDENTITY, READY = "tests/objectives/test_identity.py", "tests/objectives/test_ready.py"
STOPPING, ASKED = "tests/hpo/test_stopping.py", "tests/hpo/test_worker_asked.py"
KEEPING, QUANTIZED = "tests/hpo/test_keeping.py", "tests/objectives/test_quantized.py"

MUTATIONS = (
    Mutation(
        "a worker resumes from the checkpoint",
        "hpo/worker.py",
        "self.keeper.resume() if self.claim.attempt > 1 else (None, [])",
        "(None, [])",
        (f"{ASKED}::test_a_paused_study_is_waited_for_with_a_line_and_resumed",),
    ),
    Mutation(
        "a training continues from a snapshot",
        "objectives/transfer.py",
        "                state.load(self.resume)\n",
        "",
        (f"{RECALL}::test_an_adopter_does_as_the_first_attempt_did",),
    ),
    Mutation(
        "a checkpoint that is not worth its cost is skipped",
        "hpo/keeping.py",
        "self.spent + self.pace.seconds(size) <= SHARE * trained",
        "True",
        (f"{KEEPING}::test_the_first_one_is_skipped_where_the_trial_is_too_short_for_it",),
    ),
    Mutation(
        "cached states that are gone are computed again",
        "objectives/recall.py",
        "None if certain else course",
        "course",
        (f"{RECALL}::test_states_that_are_gone_are_computed_again_for_who_continues",),
    ),
    Mutation(
        "no trial is begun once a rule of the study holds",
        "hpo/claims.py",
        " and not stopping.ends(connection, study_id, spec)",
        "",
        (f"{STOPPING}::test_no_row_is_made_after_a_rule_held_however_many_workers_ask",),
    ),
    Mutation(
        "rules are judged as they stand under the lock of claims",
        "hpo/stopping.py",
        "    spec = replace(spec, stop=Stop(**kept.stop))\n",
        "",
        (f"{STOPPING}::test_a_claim_goes_by_the_rules_that_stand_when_it_has_the_lock",),
    ),
    Mutation(
        "a superseded worker is fenced off",
        "hpo/attempts.py",
        "WHERE trial_id = :trial AND attempt = :attempt AND current AND ended IS NULL\n    RETURNING",
        "WHERE trial_id = :trial AND attempt = :attempt\n    RETURNING",
        ("tests/hpo/test_adoption.py::test_a_superseded_worker_can_neither_report_nor_finish",),
    ),
    Mutation(
        "a silent worker's trial is adopted after its grace",
        "hpo/claims.py",
        "{_SILENT} OR ",
        "",
        ("tests/hpo/test_adoption.py::test_an_abandoned_trial_is_adopted_with_its_number_and_parameters",),
    ),
    Mutation(
        "after an outage nobody takes a trial before its worker could beat",
        "hpo/claims.py",
        "least(a.grace, interval '10 s')",
        "interval '0 s'",
        ("tests/acceptance/test_outage.py::test_after_an_outage_nobody_takes_a_trial_before_its_worker_could_beat",),
    ),
    Mutation(
        "work ends with the last beat",
        "hpo/lifetime.py",
        "ELSE greatest({attempt}.started, {attempt}.beat) END",
        "ELSE clock_timestamp() END",
        ("tests/hpo/test_spending.py::test_time_after_the_last_beat_is_no_work",),
    ),
    Mutation(
        "what a function reports is recorded before it can save it",
        "hpo/worker.py",
        "own = evaluation.snapshot is None",
        "own = False",
        ("tests/hpo/test_own_study.py::test_what_a_function_keeps_is_never_ahead_of_what_is_recorded",),
    ),
    Mutation(
        "rows that change while a worker is at work are refused",
        "objectives/transfer.py",
        "    if expected is not None and fingerprint != expected:\n",
        "    if False:\n",
        ("tests/objectives/test_identity.py::test_rows_that_changed_while_a_worker_worked_are_refused",),
    ),
    Mutation(
        "where one worker gives up the others come to their evaluations",
        "hpo/launch/local.py",
        "            other.stop()\n",
        "            other.process.kill()\n",
        ("tests/hpo/test_crew.py::test_one_that_cannot_work_lets_the_others_come_to_their_checkpoints",),
    ),
    Mutation(
        "Hyperband's brackets stay where a study is renamed",
        "hpo/search.py",
        "        named = SimpleNamespace(study_name=str(self._seed))\n",
        "        named = study\n",
        ("tests/hpo/test_search.py::test_hyperbands_brackets_stay_when_a_study_is_renamed",),
    ),
    Mutation(
        "nothing is dropped before frozen blocks",
        "objectives/layers.py",
        "        _quieten(model)\n",
        "        pass\n",
        ("tests/objectives/test_freezing.py::test_nothing_is_dropped_before_frozen_blocks",),
    ),
    Mutation(
        "no split of a hub has two roles",
        "objectives/published.py",
        "None if data.train or name in named.values() else name",
        "None if data.train else name",
        ("tests/objectives/test_data_hub.py::test_a_hub_s_splits_are_taken_and_divided_where_there_is_none",),
    ),
    Mutation(
        "three deaths fail a trial",
        "hpo/claims.py",
        "    if deaths < most:\n",
        "    if most:\n",
        ("tests/hpo/test_adoption.py::test_three_deaths_without_progress_fail_the_trial",),
    ),
    Mutation(
        "a trial whose workers went with the machine is none that kills its workers",
        "hpo/claims.py",
        "    if found.outage:\n",
        "    if found.outage is None:\n",
        ("tests/hpo/test_adoption.py::test_a_machine_that_was_killed_three_times_fails_no_trial",),
    ),
    Mutation(
        "a delivery is tried again while the database is away",
        "hpo/delivery.py",
        "            except AWAY as error:\n",
        "            except ZeroDivisionError as error:\n",
        (f"{DELIVERY}::test_an_outage_is_outlasted",),
    ),
    Mutation(
        "any other verb is tried again, too",
        "hpo/patience.py",
        "            except AWAY as error:\n",
        "            except ZeroDivisionError as error:\n",
        (f"{DELIVERY}::test_who_asks_the_database_tries_again_with_growing_pauses",),
    ),
    Mutation(
        "pauses grow",
        "hpo/patience.py",
        "min(2 * pause, LONGEST_PAUSE)",
        "pause",
        (f"{DELIVERY}::test_who_asks_the_database_tries_again_with_growing_pauses",),
    ),
    Mutation(
        "evaluations are delivered in order",
        "hpo/delivery.py",
        "self._waiting[0]",
        "self._waiting[-1]",
        (f"{DELIVERY}::test_handing_over_waits_for_nothing_and_the_order_is_kept",),
    ),
    Mutation(
        "patience ends",
        "hpo/delivery.py",
        "time.monotonic() - away[0] > self._patience.seconds",
        "False",
        (f"{DELIVERY}::test_patience_ends_and_what_is_undelivered_is_known",),
    ),
    Mutation(
        "a free connection is waited for",
        "hpo/database.py",
        "return _FULL.search(explain(error)) is not None",
        "return False",
        ("tests/acceptance/test_outage.py::test_a_worker_waits_for_a_connection_at_its_start",),
    ),
    Mutation(
        "batches are computed in parts that fit",
        "objectives/parts.py",
        "            if not ran_out(error):\n                raise\n            said",
        "            if error:\n                raise\n            said",
        (f"{PARTS}::test_rows_are_halved_until_they_fit_and_the_losses_are_the_same",),
    ),
    Mutation(
        "a size that worked is remembered",
        "objectives/parts.py",
        "    _worked[_kind(settings, device)] = replace(worked)\n",
        "    return\n",
        (f"{PARTS}::test_no_trial_meets_the_error_twice",),
    ),
    Mutation(
        "memory is given back at a trial's end",
        "objectives/transfer.py",
        "        finally:\n            parts.free()\n",
        "        finally:\n            pass\n",
        (f"{PARTS}::test_a_trial_gives_its_memory_back_however_it_ends",),
    ),
    Mutation(
        "what cannot be trained is a constraint for the sampler",
        "hpo/running.py",
        "if infeasible and INFEASIBLE not in",
        "if not infeasible and INFEASIBLE in",
        (f"{CLAIMS}::test_a_trial_that_could_not_be_trained_is_infeasible_for_the_sampler",),
    ),
    Mutation(
        "what cannot be trained keeps no rung",
        "hpo/running.py",
        "                rows.drop_rungs(connection, self.claim.trial_id, 0)\n",
        "                pass\n",
        (f"{CLAIMS}::test_what_could_not_be_trained_takes_nobodys_place_at_a_rung",),
    ),
    Mutation(
        "nothing is claimed of a paused study",
        "hpo/claims.py",
        "    if standing is not None:\n",
        "    if standing is not None and standing.verb == 'none':\n",
        (f"{CONTROL}::test_a_paused_study_gives_nothing_until_it_is_resumed",),
    ),
    Mutation(
        "workers of a stopped study end",
        "hpo/claims.py",
        '"stop": Nothing.STOPPED',
        '"stop": Nothing.PAUSED',
        (f"{CONTROL}::test_a_stopped_study_ends_its_workers_until_a_launch",),
    ),
    Mutation(
        "a paused trial is given back",
        "hpo/worker.py",
        "self.pulse.stop.is_set() or trial.held or self.pulse.standing(self.claim).held",
        "self.pulse.stop.is_set()",
        (f"{ASKED}::test_a_paused_trial_is_let_go_and_the_worker_goes_on_with_others",),
    ),
    Mutation(
        "a cancelled trial is dropped between two evaluations",
        "hpo/worker.py",
        "        keep_to(self.pulse.standing(self.claim))\n",
        "",
        (f"{ASKED}::test_a_cancelled_trial_is_dropped_before_its_next_evaluation",),
    ),
    Mutation(
        "a cancelled or superseded worker clears the checkpoints of a trial that is over",
        "hpo/worker.py",
        "if isinstance(why, Cancelled) or self.patiently(self._over):",
        "if isinstance(why, KeyError):",
        (
            f"{ASKED}::test_the_checkpoints_of_a_cancelled_trial_are_gone",
            f"{WORKER}::test_checkpoints_are_by_attempt_and_none_outlives_its_trial",
        ),
    ),
    Mutation(
        "a resume undoes a pause",
        "hpo/control.py",
        '        if not numbers:\n            wishes.record(connection, plan.study_id, None, "resume", who)\n',
        "",
        (f"{CONTROL}::test_a_paused_study_gives_nothing_until_it_is_resumed",),
    ),
    Mutation(
        "a trial is queued again with its parameters",
        "hpo/control.py",
        'plan.study_id, "WAITING", parameters)',
        'plan.study_id, "WAITING", {})',
        ("tests/hpo/test_cancel.py::test_a_failed_trial_is_queued_again_with_its_very_parameters",),
    ),
    Mutation(
        "a larger budget continues",
        "hpo/store.py",
        "budget = :budget, error = NULL",
        "error = NULL",
        (f"{CLAIMS}::test_a_larger_budget_continues",),
    ),
    Mutation(
        "an upgrade keeps the data, under the views",
        "hpo/schema/__init__.py",
        "        drop_views(connection)\n    if old:",
        "        version(connection)\n    if old:",
        (f"{SCHEMA}::test_an_older_optuna_is_upgraded_under_the_views",),
    ),
    Mutation(
        "an upgrade may take its time (grace=0)",
        "hpo/schema/__init__.py",
        "    database = replace(database, grace=0)",
        "    database = replace(database)",
        (f"{SCHEMA}::test_an_upgrade_from_the_previous_release_loses_nothing",),
    ),
    Mutation(
        "a full disk costs the checkpoint alone",
        "hpo/keeping.py",
        '        except (OSError, MemoryError) as error:\n            log.warning("no checkpoint of step',
        '        except ZeroDivisionError as error:\n            log.warning("no checkpoint of step',
        (f"{DELIVERY}::test_memory_that_runs_out_costs_the_checkpoint_alone",),
    ),
    Mutation(
        "a full disk leaves no half checkpoint",
        "objectives/checkpoint.py",
        "            _remove(files, part)\n            raise\n",
        "            raise\n",
        (f"{CHECKPOINT}::test_a_disk_that_is_full_leaves_the_older_one",),
    ),
    Mutation(
        "a truncated or altered checkpoint is passed over",
        "objectives/checkpoint.py",
        'if f"-{_digest(content)}." in name:',
        "if content:",
        (f"{CHECKPOINT}::test_a_damaged_file_is_never_read",),
    ),
    Mutation(
        "a worker refuses rows that changed",
        "hpo/worker.py",
        "        if fingerprint != plan.fingerprint:\n",
        "        if fingerprint is None and plan.fingerprint:\n",
        (f"{IDENTITY}::test_other_rows_are_refused",),
    ),
    Mutation(
        "a launch refuses rows that changed",
        "hpo/store.py",
        "    if old.fingerprint != fingerprint:\n",
        "    if fingerprint is None and old.fingerprint:\n",
        (f"{IDENTITY}::test_other_rows_are_refused",),
    ),
    Mutation(
        "a worker refuses a model that changed",
        "hpo/inputs.py",
        "known, heed) != identity:",
        "known, heed) == '':",
        (f"{IDENTITY}::test_a_worker_refuses_another_model",),
    ),
    Mutation(
        "a model of the hub stays at its commit",
        "hpo/inputs.py",
        'if kind == "hub"})',
        'if kind == ""})',
        (f"{IDENTITY}::test_a_study_stays_at_the_commit_that_it_was_made_with",),
    ),
    Mutation(
        "who waits for a model's copy hears what ends the trial",
        "objectives/remote.py",
        "acquired(lock, PATIENCE, heed)",
        "acquired(lock, 5.0, unheeded)",
        (f"{READY}::test_who_waits_for_a_copy_hears_what_ends_the_trial",),
    ),
    Mutation(
        "a model's copy in use is not removed",
        "objectives/remote.py",
        "        fcntl.flock(stream, fcntl.LOCK_SH)\n",
        "",
        (f"{READY}::test_a_trial_holds_its_copy",),
    ),
    Mutation(
        "a checkpoint of other versions is passed over",
        "objectives/transfer.py",
        "    return not others\n",
        "    return True\n",
        (f"{RECALL}::test_a_snapshot_of_other_versions_is_passed_over",),
    ),
    Mutation(
        "blocks in few bits run with every batch",
        "objectives/transfer.py",
        "        if quantized.is_quantized(model):\n            log.info",
        "        if False:\n            log.info",
        (f"{QUANTIZED}::test_frozen_blocks_run_with_every_batch_and_the_log_says_why",),
    ),
    Mutation(
        "the version of bitsandbytes is a fact of the trial",
        "objectives/transfer.py",
        'return {**self.machine.facts()["versions"], **quantized.versions(model)}',
        'return self.machine.facts()["versions"]',
        (f"{QUANTIZED}::test_a_loss_falls",),
    ),
    Mutation(
        "a label that no training row has is refused",
        "objectives/data.py",
        "if strange := set(values).difference(known):",
        "if strange := set(values).difference(values):",
        ("tests/objectives/test_data.py::test_labels_that_are_no_classes_are_told",),
    ),
    Mutation(
        "a snapshot is a copy on the CPU",
        "objectives/state.py",
        '.to("cpu", copy=True)',
        ".cpu()",
        ("tests/objectives/test_state.py::test_a_snapshot_does_not_change_with_the_training",),
    ),
)
