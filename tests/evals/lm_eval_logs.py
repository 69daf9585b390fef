"""Write real samples of the LM Evaluation Harness, by lm_eval itself with an LLM made here, into a folder."""

import json
import sys
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker

#: What the LLM answers to each document, the first, second, ... time.
ANSWERS = {
    "q0": ["0", "9", "9", "9"],
    "q1": ["7", "1", "1", "1"],
    "q2": ["2", "3", "2", "3"],
    "q3": ["8", "8", "3", "8"],
}


class Fixed(LM):
    """An LLM whose answers are known."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, int] = {}

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer each request by what comes next."""
        answers = []
        for request in requests:
            name = request.args[0].split()[-1]
            self.asked[name] = self.asked.get(name, -1) + 1
            answers.append(ANSWERS[name][self.asked[name] % len(ANSWERS[name])])
        return answers

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Prefer the first choice."""
        return [(-1.0 if request.args[1].strip() == "a" else -2.0, False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """No task here asks for it."""
        raise NotImplementedError


def run(folder: Path, name: str, data: Path, **config: Any) -> None:
    """Evaluate one task and log its samples, as ``lm_eval --log_samples`` does."""
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_target": "target",
        "metadata": {"version": 1},
        **config,
    }
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args(
        model_source="fixed",
        model_args="pretrained=org/fixed-1b",
        system_instruction="",
        chat_template="",
        fewshot_as_multiturn=False,
    )
    results = simple_evaluate(model=Fixed(), tasks=[task], log_samples=True, bootstrap_iters=0, verbosity="ERROR")
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name=name, samples=samples[name])


def write_all(root: Path) -> None:
    """Write a folder of samples of each kind."""
    data = root / "data.jsonl"
    documents = [{"question": f"What is q{number}", "target": str(number)} for number in range(4)]
    data.write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
    generation = {
        "output_type": "generate_until",
        "doc_to_text": "question",
        "repeats": 4,
        "generation_kwargs": {"until": ["\n"], "do_sample": True},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    run(root / "first", "first", data, **generation)
    filters = [
        {"name": "score-first", "filter": [{"function": "take_first"}]},
        {"name": "maj@4", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]},
    ]
    run(root / "filters", "filters", data, **generation, filter_list=filters)
    choices = {"doc_to_text": "question", "doc_to_choice": ["a", "b"], "doc_to_target": 0}
    metrics = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
    run(root / "choices", "choices", data, output_type="multiple_choice", metric_list=metrics, **choices)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
