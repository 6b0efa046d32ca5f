"""The fixtures that tests of estimators share with those of the evaluation."""

from tests.evaluation.conftest import detector, landmark_model, one_thread, portraits, stored_landmarks

__all__ = ["detector", "landmark_model", "one_thread", "portraits", "stored_landmarks"]
