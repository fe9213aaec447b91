"""What an application pays when it starts: the import, and the configuration of 200 versioned models."""

import json
import os
import subprocess
import sys

from benchmarks.workloads.base import Workload

MODELS = 200

IMPORT = """
import time, sqlalchemy.orm, sqlalchemy.ext.asyncio
before = time.process_time()
import {module}
print(time.process_time() - before)
"""
CONFIGURE = """
import json, time
import sqlalchemy.ext.asyncio, {module}
from sqlalchemy.orm import configure_mappers
from benchmarks.contenders import all_contenders
contender = all_contenders()["{name}"]("process")
before = time.process_time()
contender.declare_many({number})
configure_mappers()
print(time.process_time() - before)
"""


class Import(Workload):
    """The import of the library after SQLAlchemy's own; unversioned is the import of SQLAlchemy."""

    name = "start.import"
    title = "import"
    backends = ("process",)
    inspected = False

    script = IMPORT
    plain = IMPORT.replace("import time, sqlalchemy.orm, sqlalchemy.ext.asyncio", "import time").replace(
        "{module}", "sqlalchemy.orm, sqlalchemy.ext.asyncio"
    )

    async def seconds(self) -> float:
        """Run it in a fresh interpreter and give its CPU time."""
        script = self.plain if self.contender.name == "plain" else self.script
        code = script.format(module=self.contender.module, name=self.contender.name, number=MODELS)
        # Modules are compiled once, by whoever installs them, even where this shell forbids it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: ASYNC221
        return float(json.loads(done.stdout.strip().splitlines()[-1]))


class Configure(Import):
    """Declaring and configuring 200 models of five columns."""

    name = "start.configure"
    title = f"configuration of {MODELS} models"
    script = plain = CONFIGURE
