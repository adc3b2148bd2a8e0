"""The nightly job as an Airflow 2.4 or later DAG: its steps one by one, so that each has a task of its own.

Copy the file into the folder of DAGs. The workers need the command `pymk` and the same PYMK_HOME, since a step reads
what the one before left there: one host, or a shared volume. Variables of Airflow: `pymk_data`, the dataset directory,
and `pymk_settings`, a JSON object of PYMK_ variables. A task that failed for a passing reason is tried again and goes
on where it was; wrong input (exit status 2) and a refusal of the gate (3) are not.
"""

from datetime import datetime, timedelta
from typing import Any

from airflow.exceptions import AirflowFailException
from airflow.models import Variable
from airflow.models.dag import DAG
from airflow.operators.bash import BashOperator

STEPS = ("snapshot", "training", "evaluation", "version", "publish")
"""of pymk nightly, in their order; the gate judges after the first, the third and the fourth"""
COMMANDS = {
    "check": "pymk check {data}",
    **{step: f"pymk nightly {{data}} --until {step}" for step in STEPS},
}
"""by task, what it runs"""
FINAL = (2, 3)
"""exit statuses after which another try would end the same way"""


class PymkOperator(BashOperator):
    """A task that is not tried again after a final exit status."""

    def execute(self, context: Any) -> Any:
        try:
            return super().execute(context)
        except Exception as error:
            if any(f"exit code {status}" in str(error) for status in FINAL):
                raise AirflowFailException(str(error)) from error
            raise


with DAG(
    dag_id="pymk_nightly",
    description="From a dataset directory to the active version",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["pymk"],
) as dag:
    data = Variable.get("pymk_data", default_var="/data")
    settings = Variable.get("pymk_settings", default_var={}, deserialize_json=True)
    before = None
    for name, command in COMMANDS.items():
        task = PymkOperator(
            task_id=name,
            bash_command=command.format(data=data),
            env={**settings},
            append_env=True,
        )
        if before is not None:
            before >> task
        before = task
