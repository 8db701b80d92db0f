"""Builds the wheel with the workflow in it; all else about the package is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithWorkflow(build_py):
    """Copies the workflow, which lies at the top of the repository, into `pullback/workflow`."""

    def run(self) -> None:
        """Build the package, then add the workflow."""
        super().run()
        if not self.editable_mode:
            for path in map(ROOT.joinpath, self.workflow_files()):
                copy = Path(self.build_lib, "pullback", "workflow", path.relative_to(ROOT))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    @staticmethod
    def workflow_files() -> list[Path]:
        """The files of the workflow, and what `pullback init` starts a study from."""
        found = (
            "Snakefile",
            "workflow/scripts/*.py",
            "workflow/report/*.rst",
            "profiles/**/*.*",
            "config/*.*",
            "examples/*.py",
        )
        return [path.relative_to(ROOT) for pattern in found for path in sorted(ROOT.glob(pattern)) if path.is_file()]


setup(cmdclass={"build_py": BuildWithWorkflow})
