import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, and PyTorch with them, only where tests run: not where they are handed out to workers."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.support")
