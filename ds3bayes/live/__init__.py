"""Evaluations that stop once they have answered what they were run for."""

from ds3bayes.live.inspect import StopWhenDecided
from ds3bayes.live.questions import Answer, Best, Better, Cheapest, Question, Success
from ds3bayes.live.replay import fixed_epochs, replay
from ds3bayes.live.stopper import Stopper, Worth

__all__ = [
    "Answer",
    "Best",
    "Better",
    "Cheapest",
    "Question",
    "StopWhenDecided",
    "Stopper",
    "Success",
    "Worth",
    "fixed_epochs",
    "replay",
]
