"""A function for a worker to run."""

RAN: list[int] = []


def run_stage(stage_id: int) -> None:
    """Note that it was run."""
    RAN.append(stage_id)
