import pytest


@pytest.hookimpl(trylast=True)  # so that the lines that run at import count as covered
def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the fixtures, and PyTorch with them, only where tests run: not where they are handed out to workers."""
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None):
        session.config.pluginmanager.import_plugin("tests.support")
