"""`pymk nightly`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Engine(StrEnum):
    """Where candidates are found."""

    LOCAL = "local"
    SPARK = "spark"


class Until(StrEnum):
    """The steps after which a run may stop."""

    SNAPSHOT = "snapshot"
    TRAINING = "training"
    EVALUATION = "evaluation"
    VERSION = "version"
    PUBLISH = "publish"


class Retrain(StrEnum):
    """When the models are trained again."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("nightly")(nightly)


def nightly(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    config: Annotated[
        Path | None, typer.Option(help="Settings of the night, TOML; pymk config prints all.", metavar="FILE.toml")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(help="What runs the steps named below: this process, or Spark jobs."),
    ] = Engine.LOCAL,
    spark_master: Annotated[
        str | None,
        typer.Option(
            help="The master for --engine spark; default: that of spark-submit, else local[*].", metavar="URL"
        ),
    ] = None,
    retrain: Annotated[
        Retrain, typer.Option(help="Train again: if the weights are old or the graph grew, always, or never.")
    ] = Retrain.AUTO,
    until: Annotated[
        Until, typer.Option(help="Stop after this step; the same command with a later one, or none, goes on.")
    ] = Until.PUBLISH,
    delta: Annotated[
        bool,
        typer.Option("--delta", help="Make candidates only for those whose friends or profile changed; train nothing."),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(help="Keep within so much memory, such as 8G, by working in smaller blocks.", metavar="SIZE"),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Publish even if the quality gate refuses; goes on from a run that it refused."),
    ] = False,
) -> None:
    """Turn a dataset directory into a published version.

    Snapshot, training, evaluation, quality gate, embeddings, index, candidates, publish. The same command resumes a
    killed run. The last line of stdout is the version id. With PYMK_APPROVAL=true the version waits for pymk approve;
    with PYMK_CANARY=true a share of the viewers is served from it first (pymk canary), once it is approved if it waits.
    Exit status 2: the dataset or a flag is wrong; 3: the gate refused, and says why: nothing was published.

    Example:  pymk nightly ./my-network

    Between whole nights, --delta goes on from the active version: its weights, its vectors and its index stay, whoever
    is new gets a place among them, and only people whose own friends, blocks or profile changed get new candidates. It
    takes a fraction of a night and makes a version of its own. Run a whole night now and then: vectors age. It is
    refused while a canary runs, and if the active version changed meanwhile; the same command then goes on from that
    one.

    --memory is a budget for this process. Candidates, baselines and training lists come in smaller blocks then, which
    takes longer; the ranker may learn from fewer lists. A network that does not fit is refused before training, with
    what it would take. pymk nights says what each step held. The index is built by a process of its own, on top.

    --engine spark (pip install 'pymk[spark]', Java 17) runs as Spark jobs: the tables of the snapshot, statistics of
    neighbourhoods, the candidates of the evaluation and of the version with their pair features, and the baselines by
    mutual friends. The lists are the same up to rounding. Reading, training, embedding, the index, the gate and all
    else run in this process. On a cluster start it with spark-submit, and keep PYMK_HOME where every worker sees it:
    offline/SPARK.md.
    """
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import closing, nullcontext

    from models.errors import UsageError
    from models.settings import Settings
    from models.system import memory_budget
    from offline.night.config import NightConfig
    from offline.spark.session import check_spark
    from offline.steps.memory import parsed

    # arguments and settings, and then the data: nothing that takes seconds to load before they are right
    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk synth --out DIRECTORY makes a synthetic one")
    if delta and (retrain is Retrain.ALWAYS or until in (Until.TRAINING, Until.EVALUATION)):
        raise UsageError("--delta trains and evaluates nothing; leave out --retrain always and --until training")
    if delta and engine is Engine.SPARK:
        raise UsageError("--delta makes too few candidates for Spark; leave out --engine spark")
    if spark_master is not None and engine is Engine.LOCAL:
        raise UsageError("--spark-master needs --engine spark")
    memory_budget.limit(None if memory is None else parsed(memory))
    settings, night_config = Settings(), NightConfig.read(config)
    if engine is Engine.SPARK:
        check_spark()

    from models.store.connect import check_address, open_sync
    from offline.contacts.uploads import load_uploads, read_uploads
    from offline.night.workspace import ReadAhead

    check_address(settings)
    uploads = read_uploads(data)
    read_ahead = ReadAhead.of(data, settings.home)
    # an embedded store that starts loads all that it holds: some seconds, which the night's own code takes as well
    with ThreadPoolExecutor(1) as starting:
        opening = starting.submit(open_sync, settings)

        from rich.console import Console

        from models.cli.progress import loading_bar
        from models.publishing.approvals.notices import Notices
        from models.store.keys import Keys
        from offline.evaluation.rendering import render
        from offline.night.nightly import Night
        from offline.outcomes.join import Windows
        from offline.spark.engine import SparkEngine

    with closing(opening.result()) as store:
        spark = SparkEngine(night_config.spark, spark_master) if engine is Engine.SPARK else None
        with loading_bar("Publishing") as bar, spark or nullcontext():
            night = Night(
                data=data,
                home=settings.home,
                store=store,
                keys=Keys(settings.namespace),
                config=night_config,
                retrain=retrain.value,
                delta=delta,
                force=force,
                until=until.value,
                forbidden_days=settings.forbidden_days,
                event_days=settings.event_days,
                windows=Windows.of(settings),
                group_column=settings.group_column,
                superseded_ttl_s=settings.superseded_ttl_s,
                approval=settings.approval,
                canary_share=settings.canary_share,
                notices=Notices(settings.approval_webhook, settings.approval_command),
                engine=spark,
                progress=bar,
                read_ahead=read_ahead,
            )
            version, report = night.run()
        if uploads is not None and until is Until.PUBLISH:  # a run that stops early changes nothing that is served
            secret = settings.contacts_key
            load_uploads(uploads, store, night.keys, None if secret is None else secret.get_secret_value())
    if report.users:
        render(report, Console(stderr=True, highlight=False))
    typer.echo(version)
