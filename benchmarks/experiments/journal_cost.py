"""What journalling answers costs: eight busy streams in sessions, by the journal's interval.

    python -m benchmarks.experiments.journal_cost [BUNDLE] [--rounds N] [--tokens N] [--state-dir FOLDER]

Each round has one daemon per setting, in an order that changes. Without a bundle the embedded model answers. The state
folder should lie on the disk that is to be judged.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

from openglm.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc

STREAMS = 8
NO_SESSIONS = "no sessions"
SETTINGS = (NO_SESSIONS, "0", "0.05", "0.2", "1")
PROMPT_TOKENS = 32
START_SECONDS = 300.0
LOOK_SECONDS = 0.05


async def decode_rate(socket: Path, tokens: int, *, in_sessions: bool) -> float:
    """Tokens per second of all streams together, from everybody's first token to the first one's last."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        arrivals = await asyncio.gather(*(read(stub, number, tokens, in_sessions) for number in range(STREAMS)))
    begin, end = max(times[0] for times in arrivals), min(times[-1] for times in arrivals)
    return sum(begin < at <= end for times in arrivals for at in times) / (end - begin)


async def read(stub: inference_pb2_grpc.InferenceStub, number: int, tokens: int, in_sessions: bool) -> list[float]:
    """When each token of one stream came."""
    request = inference_pb2.GenerateRequest(
        token_ids=inference_pb2.TokenIds(ids=[10 + number + place for place in range(PROMPT_TOKENS)]),
        max_tokens=tokens,
        ignore_eos=True,
        sampling=inference_pb2.Sampling(temperature=1.0, seed=number),
        session_id=f"stream {number}" if in_sessions else "",
    )
    times: list[float] = []
    async for event in stub.Generate(request):
        times += [time.monotonic()] * len(event.token.ids)
    return times


def measure(folder: Path, bundle: str, setting: str, tokens: int) -> float:
    """One daemon's rate: the second run's, after one that warms up."""
    path = bundle or "bundled:glm-small"
    seconds = "0" if setting == NO_SESSIONS else setting
    (folder / "c.toml").write_text(
        f'state_dir = "{folder}/state"\ndefault_model = "m"\nstandard_models = false\n'
        f'[server]\nsocket = "{folder}/s"\n[sessions]\njournal_seconds = {seconds}\n'
        f'[engine]\nrows = {STREAMS}\n[models.m]\npath = {json.dumps(path)}\ndevice = "cpu"\n'
    )
    command = [sys.executable, "-m", "autoglmd", "serve", "--config", str(folder / "c.toml")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_serving(folder / "s")
            asyncio.run(decode_rate(folder / "s", 16, in_sessions=False))
            return asyncio.run(decode_rate(folder / "s", tokens, in_sessions=setting != NO_SESSIONS))
        finally:
            daemon.terminate()


def wait_serving(socket: Path) -> None:
    """Until the daemon serves."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = stub.Status(admin_pb2.StatusRequest(), wait_for_ready=True, timeout=START_SECONDS)
            if status.state == admin_pb2.DAEMON_STATE_SERVING:
                return
            # Its models load in another process, which has no event of ours.
            time.sleep(LOOK_SECONDS)
    raise TimeoutError("the daemon does not serve")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--state-dir", type=Path)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for number in range(options.rounds):
        for setting in random.Random(number).sample(SETTINGS, len(SETTINGS)):  # noqa: S311 - an order
            with tempfile.TemporaryDirectory(dir=options.state_dir) as folder:
                rates[setting].append(measure(Path(folder), options.bundle, setting, options.tokens))
    print(f"{'journal_seconds':16} {'tokens/s, median':>18}   ratios to no sessions, round by round")
    for setting, values in rates.items():
        ratios = [f"{value / base:.3f}" for value, base in zip(values, rates[NO_SESSIONS], strict=True)]
        print(f"{setting:16} {statistics.median(values):18.1f}   {' '.join(ratios)}")


if __name__ == "__main__":
    main()
