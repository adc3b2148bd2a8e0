"""The command `pymk` as a file that spark-submit takes: `spark-submit [OPTIONS] spark_night.py nightly DATA ...`."""

from models.cli import main

if __name__ == "__main__":
    main()
