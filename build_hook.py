"""What setuptools does besides: it lays `emothinker_shadowed.pth` beside the packages, where alone Python reads it.

Package data lies in packages, and of an editable installation setuptools leaves out `data-files`. pyproject.toml names
the class; nothing of this is installed.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py

PTH = "emothinker_shadowed.pth"


class BuildPy(build_py):  # type: ignore[misc]
    """Modules as setuptools builds them, and the `.pth`, in a wheel and in an editable one."""

    def run(self) -> None:
        super().run()
        # An editable wheel has nothing of what is built, but what lies where it would be installed.
        folder = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.copy_file(PTH, str(Path(folder, PTH)))

    def get_source_files(self) -> list[str]:
        """An archive of the sources has to build, too."""
        return [*super().get_source_files(), PTH, "build_hook.py"]
