"""A migration project as `alembic init --template async` makes it, run within the process of the tests."""

import importlib
import io
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL

HEADER = """
from sqlalchemy import Column, Enum, ForeignKey, Integer, String, Table, Text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from async_continuum import Versioned, VersioningManager, make_versioned, plugins

class Base(AsyncAttrs, DeclarativeBase):
    pass

manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=USER, options=OPTIONS, plugins=PLUGINS)
"""


@dataclass(eq=False)
class Project:
    """Scripts and models of one database. Lives for one test."""

    folder: Path
    url: URL
    modules: list[ModuleType] = field(default_factory=list)

    def __post_init__(self) -> None:
        template = Path(self._config().get_template_directory()) / "async"
        (self.folder / "versions").mkdir(parents=True)
        for name in ("env.py", "script.py.mako"):
            shutil.copy(template / name, self.folder / name)
        self._env = (self.folder / "env.py").read_text()

    def configure(self, options: str) -> None:
        """Give `context.configure` further options."""
        plain = "target_metadata=target_metadata)"
        assert plain in self._env
        self._env = self._env.replace(plain, f"target_metadata=target_metadata, {options})")

    def declare(
        self, source: str, *, options: str = "{}", user_cls: str | None = None, plugins: str = "None"
    ) -> ModuleType:
        """Make these the models of the environment."""
        name = f"models_{self.folder.parent.name.replace('-', '_')}_{len(self.modules)}"
        (self.folder / f"{name}.py").write_text(
            HEADER.replace("OPTIONS", options).replace("USER", repr(user_cls)).replace("PLUGINS", plugins) + source
        )
        sys.path.insert(0, str(self.folder))
        try:
            importlib.invalidate_caches()
            module = importlib.import_module(name)
        finally:
            sys.path.remove(str(self.folder))
        self.modules.append(module)
        imports = f"import async_continuum.ext.alembic\nfrom {name} import Base\ntarget_metadata = Base.metadata"
        (self.folder / "env.py").write_text(self._env.replace("target_metadata = None", imports))
        return module

    def autogenerate(self) -> str:
        """Write a script for what differs, and give its text."""
        script = command.revision(self._config(), autogenerate=True)
        return Path(script.path).read_text()

    def write(self, upgrade: str, downgrade: str, imports: str = "") -> None:
        """Write a script by hand."""
        script = command.revision(self._config())
        path = Path(script.path)
        head = path.read_text().partition("def upgrade()")[0]
        path.write_text(
            f"{head}{imports}\n\ndef upgrade() -> None:\n{_indented(upgrade)}\n\n\n"
            f"def downgrade() -> None:\n{_indented(downgrade)}\n"
        )

    def upgrade(self, to: str = "head") -> None:
        command.upgrade(self._config(), to)

    def downgrade(self, to: str = "base") -> None:
        command.downgrade(self._config(), to)

    def forget_newest(self) -> None:
        """Take the newest script away."""
        newest = ScriptDirectory.from_config(self._config()).get_current_head()
        (path,) = (self.folder / "versions").glob(f"{newest}_*.py")
        path.unlink()

    def check(self) -> None:
        """Fail where models and database differ, as `alembic check` does."""
        command.check(self._config())

    def sql(self, span: str, *, down: bool = False) -> str:
        """Give what `alembic upgrade --sql` or `alembic downgrade --sql` writes."""
        told = io.StringIO()
        config = self._config(output_buffer=told)
        (command.downgrade if down else command.upgrade)(config, span, sql=True)
        return told.getvalue()

    def close(self) -> None:
        """Forget the models."""
        for module in self.modules:
            sys.modules.pop(module.__name__, None)

    def _config(self, output_buffer: io.StringIO | None = None) -> Config:
        config = Config(stdout=io.StringIO(), output_buffer=output_buffer)
        config.set_main_option("script_location", str(self.folder))
        config.set_main_option("sqlalchemy.url", self.url.render_as_string(hide_password=False).replace("%", "%%"))
        return config


def _indented(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.strip().splitlines())
