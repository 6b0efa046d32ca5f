"""Fixtures of other folders that what runs on the pretended device needs."""

from tests.benchmarks.conftest import model  # noqa: F401
from tests.train.conftest import face_model, world  # noqa: F401
