"""The hardware as it is seen: quotas, precisions, rates, and teams of one."""

import contextlib
import itertools
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from diffusion import hardware
from diffusion.hardware import matrix_rate, quickest_precision, use_allowed_cores
from diffusion.team import Team, out_of_touch

CPU = torch.device("cpu")


V2 = "/sys/fs/cgroup/cpu.max"
QUOTA, PERIOD = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"  # of cgroup v1
ROOT, GROUP = "/sys/fs/cgroup", "/proc/self/cgroup"


def v1(group: str) -> dict[str, str]:
    """The files of a group of cgroup v1 that has two cores."""
    return {f"{ROOT}/{group}/cpu.cfs_quota_us": "200000\n", f"{ROOT}/{group}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({V2: "200000 100000\n"}, 2),
        ({V2: "150000 100000\n"}, 1),
        ({V2: "50000 100000\n"}, 1),
        ({V2: "9900000 100000\n"}, 4),
        ({V2: "max 100000\n"}, 4),
        ({V2: ""}, 4),
        ({QUOTA: "200000\n", PERIOD: "100000\n"}, 2),
        ({QUOTA: "50000\n", PERIOD: "100000\n"}, 1),
        ({QUOTA: "-1\n", PERIOD: "100000\n"}, 4),
        ({}, 4),
        # a group of its own, or one above it: systemd's CPUQuota, Slurm, and both versions side by side
        ({GROUP: "0::/a.slice/b.service\n", f"{ROOT}/a.slice/b.service/cpu.max": "100000 100000\n"}, 1),
        ({GROUP: "0::/a.slice/b.service\n", f"{ROOT}/a.slice/cpu.max": "200000 100000\n", V2: "max 100000"}, 2),
        ({GROUP: "9:name=systemd:/x\n4:cpu,cpuacct:/slurm/job_7/step_0\n0::/\n"} | v1("cpu,cpuacct/slurm/job_7"), 2),
        ({GROUP: "4:cpuacct,cpu:/slurm/job:7\n"} | v1("cpu/slurm/job:7"), 2),
        ({GROUP: "4:cpu:/docker/0123\n0::/docker/0123\n"} | v1("cpu"), 2),  # which is the root in the container
        ({GROUP: "0::/../../other\n", V2: "200000 100000\n"}, 2),
        ({GROUP: "0::/mine\n", f"{ROOT}/other/cpu.max": "100000 100000\n"}, 4),
    ],
)
def test_a_quota_limits_the_threads(monkeypatch, files, wanted):
    def read_text(path: Path) -> str:
        if str(path) not in files:
            raise FileNotFoundError
        return files[str(path)]

    threads = [4]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert use_allowed_cores() == wanted
    monkeypatch.setenv("OMP_NUM_THREADS", "4")  # the user's own choice
    threads[:] = [4]
    assert use_allowed_cores() == 4


def test_the_matrix_rate_is_that_of_a_machine():
    assert 1e9 < matrix_rate(CPU, "fp32") < 1e14


@pytest.mark.parametrize("quick", ["bf16", "fp32"])
def test_the_quicker_precision_is_the_one_that_took_less_time(monkeypatch, quick):
    clock, timed = itertools.count(), []

    def autocast(*_, enabled: bool, **__) -> contextlib.nullcontext:
        """At first something else keeps the machine busy, so that all takes thrice as long."""
        timed.append(enabled)
        seconds = 1 if enabled == (quick == "bf16") else 2
        for _ in range(seconds * (3 if len(timed) <= 6 else 1)):
            next(clock)
        return contextlib.nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    monkeypatch.setattr(hardware, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert quickest_precision.__wrapped__(CPU) == quick  # whatever was found before


def test_one_process_is_a_team_that_needs_no_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = Team.join()
    batch = torch.arange(6)
    assert (team.rank, team.size, team.leads) == (0, 1, True)
    assert torch.equal(team.share(batch), batch)
    assert team.mean(torch.tensor(3.0)) == 3
    assert team.any(True)
    assert not team.any(False)
    assert team.agree("bf16") == "bf16"
    team.wait()
    team.part()


def test_only_a_process_that_cannot_be_reached_is_out_of_touch():
    assert out_of_touch(torch.distributed.DistStoreError("wait timeout"))
    assert out_of_touch(RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:1419."))
    assert out_of_touch(RuntimeError("Application timeout caused pair closure"))
    assert not out_of_touch(RuntimeError("Parent directory runs/igloo does not exist."))
    assert not out_of_touch(RuntimeError("[gloo/transport/tcp/device.cc:80] Unable to find address for: eth9"))


def test_the_members_of_a_team_share_a_batch_without_overlap():
    batch = torch.arange(12)
    assert torch.equal(torch.cat([Team(rank, 3, CPU).share(batch) for rank in range(3)]), batch)


def test_who_leads_judges_on_the_cores_of_all_and_draws_on_its_own(monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    before = torch.get_num_threads()
    leader = Team(0, 2, CPU)
    leader.use_cores_of_all()
    assert torch.get_num_threads() == 2 * before
    with leader.using_own_cores():
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == 2 * before


def test_a_team_notices_who_is_silent_and_not_who_is_through(monkeypatch, refuses) -> None:
    counts: Counter[str] = Counter()
    monkeypatch.setattr(Team, "count", lambda _, name, more=0: counts.update({name: more}) or counts[name])
    monkeypatch.setattr("diffusion.team.BEAT", 0.01)
    monkeypatch.setattr("diffusion.team.SILENCE", 0.2)
    leader, other = Team(0, 2, CPU), Team(1, 2, CPU)
    with leader.watched() as check:
        with other.watched():
            for _ in range(6):
                time.sleep(0.1)
                check()
        time.sleep(0.4)
        check()  # it is through
    counts.clear()
    with refuses("Another process of this run has ended"), leader.watched() as check:
        time.sleep(0.4)
        check()
