"""The Airflow DAG: its tasks in their order, built with doubles of Airflow, and their commands run one by one."""

import json
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, get_args

import pytest

from offline.night.nightly import Step
from tests.support.homes import Home

DAG_FILE = Path(__file__).parents[3] / "offline" / "deploy" / "airflow_dag.py"


class FailError(Exception):
    """Airflow's AirflowFailException: the task is not tried again."""


class Operator:
    """Airflow's BashOperator, as far as a DAG is built with it."""

    made: ClassVar[list["Operator"]] = []

    def __init__(self, *, task_id: str, bash_command: str, **options: Any) -> None:
        self.task_id, self.bash_command, self.options = task_id, bash_command, options
        self.before: list[str] = []
        Operator.made.append(self)

    def __rshift__(self, other: "Operator") -> "Operator":
        other.before.append(self.task_id)
        return other

    def execute(self, context: int) -> str:
        if context:
            raise RuntimeError(f"Bash command failed. The command returned a non-zero exit code {context}.")
        return "done"


class Dag:
    def __init__(self, **options: Any) -> None:
        self.options = options

    def __enter__(self) -> "Dag":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""


class Variable:
    @staticmethod
    def get(name: str, default_var: Any, deserialize_json: bool = False) -> Any:
        return default_var


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names = {
        "airflow": {},
        "airflow.exceptions": {"AirflowFailException": FailError},
        "airflow.models": {"Variable": Variable},
        "airflow.models.dag": {"DAG": Dag},
        "airflow.operators": {},
        "airflow.operators.bash": {"BashOperator": Operator},
    }
    for name, attributes in names.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Operator, "made", [])
    return runpy.run_path(str(DAG_FILE))


def test_the_tasks_are_the_steps_of_a_night_in_their_order(dag: dict[str, Any]) -> None:
    assert get_args(Step) == dag["STEPS"]
    tasks = Operator.made
    assert [task.task_id for task in tasks] == ["check", *dag["STEPS"]]
    assert [task.before for task in tasks[1:]] == [[task.task_id] for task in tasks[:-1]]
    assert dag["dag"].options["max_active_runs"] == 1


def test_a_final_exit_status_is_not_tried_again(dag: dict[str, Any]) -> None:
    task = Operator.made[1]
    assert task.execute(0) == "done"
    for status in dag["FINAL"]:
        with pytest.raises(FailError):
            task.execute(status)
    with pytest.raises(RuntimeError):
        task.execute(1)


def test_the_commands_of_the_tasks_make_one_night(
    dag: dict[str, Any], small_network: Path, small_night: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path, timeout_s=600)
    versions = set()
    for name, command in dag["COMMANDS"].items():
        program, *words = shlex.split(command.format(data=small_network))
        assert program == "pymk"
        config = () if name == "check" else ("--config", str(small_night))
        ran = home.run(*words, *config)
        assert ran.returncode == 0, ran.stderr
        if name != "check":
            versions.add(ran.stdout.splitlines()[-1])
            assert (home.active() is not None) is (name == "publish")
    (version,) = versions
    assert home.active() == version
    (night,) = json.loads(home.run("nights", "--json").stdout)
    assert (night["run"], night["state"], night["resumed"]) == (version, "published", 4)
    assert [step["name"] for step in night["steps"]] == list(dag["STEPS"])
    assert all(step["state"] == "done" for step in night["steps"])
