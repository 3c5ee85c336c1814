"""Build the compiled library for pixels into the package, or a pure wheel where no C compiler works.

ctypes loads the library, which links to no Python, so one wheel serves every Python of a platform: ``py3-none-PLATFORM``.
"""

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = runpy.run_path(str(ROOT / "devices/native/sources.py"))


def relative(path: Path) -> str:
    """Return a path as setuptools wants it."""
    return path.relative_to(ROOT).as_posix()


class BuildLibrary(build_ext):
    """Compile a library that is no module of Python."""

    def finalize_options(self) -> None:
        """Compile it every time: it holds the digest of its sources, and headers count."""
        super().finalize_options()
        self.force = True

    def get_ext_filename(self, fullname: str) -> str:
        """Return a name without a version of Python in it."""
        return str(Path(*fullname.split(".")[:-1], SOURCES["LIBRARY"].name))

    def build_extension(self, ext: Extension) -> None:
        """Compile it, or say in plain words what the wheel lacks."""
        try:
            super().build_extension(ext)
        except Exception:  # whatever is wrong with a compiler
            self.warn("no library for frames, as no C compiler is here or it failed: NumPy computes the same, more slowly")


class Wheel(bdist_wheel):
    """A wheel for one platform and every Python 3, or a pure one where the library could not be built."""

    def run(self) -> None:
        """Build the library first: what the wheel is called depends on whether that works."""
        self.run_command("build_ext")
        built = self.get_finalized_command("build_ext")
        self.root_is_pure = not all(Path(output).is_file() for output in built.get_outputs())
        if self.root_is_pure:
            self.distribution.ext_modules = []
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, ABI and platform."""
        _, _, platform = super().get_tag()
        return ("py3", "none", "any" if self.root_is_pure else platform)


setup(
    ext_modules=[
        Extension(
            "weckd_edge.devices.native.pixels",
            sources=[relative(path) for path in SOURCES["source_files"]()],
            include_dirs=[relative(path) for path in SOURCES["include_folders"]()],
            extra_compile_args=list(SOURCES["FLAGS"]),
            define_macros=[("WECKD_SOURCES_DIGEST", f'"{SOURCES["digest_of_sources"]()}"')],
            libraries=["m"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
)
