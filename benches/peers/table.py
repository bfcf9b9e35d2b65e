"""The figures as people read them."""

import statistics

from rounds import QUIET_SHARE, bounds_of_median


def costs(names, summary):
    """Prints the table of one workload."""
    heads = "".join(f"{'/ ' + name:>13}" for name in names)
    print(f"\n{'':12}{'µs per request':^24}{'program':>9}{heads}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'RSS idle':>12}{'loaded':>10}")
    for name in names:
        row = summary[name]
        cpu = row["cpu_us_per_request"]
        ratios = "".join(f"{row['ratio_to'][other]:13.2f}" if other in row["ratio_to"] else f"{'':>13}" for other in names)
        waits = "".join(f"{row[key] * 1e3:9.2f}" if key in row else f"{'':>9}" for key in ("p50_seconds", "p99_seconds"))
        print(
            f"{name:12}{cpu['min']:8.2f}{cpu['median']:8.2f}{cpu['max']:8.2f}{row['user_us_per_request']:9.2f}{ratios}{row['requests_per_second']:10.0f}{waits}"
            f"{row['rss_idle_kib'] / 1024:8.1f} MiB{row['rss_loaded_kib'] / 1024:6.1f} MiB"
        )
    print("columns of µs: least, median, most, and the median of what the program itself takes, without the kernel; columns of ratios: median of the per-round ratios of CPU time per request")


def goals(results, workloads):
    """Prints our ratio to each peer beside the most that it may be. Returns how many goals are met, and how many there are."""
    peers = [peer for peer in ("haproxy", "nginx", "envoy", "pingora") if any(peer in summary for summary in results.values())]
    print(f"\n{'our CPU time':14}" + "".join(f"{'/ ' + peer:>22}" for peer in peers))
    met = asked = 0
    for key, summary in results.items():
        cells = []
        for peer in peers:
            ratio, most = summary.get("portcullis", {}).get("ratio_to", {}).get(peer), workloads[key].goals.get(peer)
            if ratio is None or most is None:
                cells.append("")
                continue
            met, asked = met + (ratio <= most), asked + 1
            cells.append(f"{ratio:.2f} ({'met' if ratio <= most else 'misses'} {most:.2f})")
        print(f"{key:14}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"{met} of {asked} goals met; a cell is the median of the ratios of all clean rounds")
    return met, asked


def beside(found, summary, rate):
    """Prints what is measured beside the cost."""
    print(f"\n{'h1-1k':12}{'p50 ms':>9}{'p99 ms':>9}{'of turns':>10}{'RSS idle':>12}{'per idle connection':>21}{'serving after':>15}{'system calls':>14}")
    for name, row in found.items():
        print(
            f"{name:12}{row['p50_seconds'] * 1e3:9.2f}{row['p99_seconds'] * 1e3:9.2f}{row['p99_whole_seconds'] * 1e3:10.2f}{summary[name]['rss_idle_kib'] / 1024:8.1f} MiB"
            f"{row['idle_connection_bytes'] / 1024:17.1f} KiB{row['serving_seconds'] * 1e3:12.1f} ms{row['system_calls_per_request']:14.2f}"
        )
    print(
        f"latencies at {rate:.0f} requests per second over 64 connections, half of what the slowest of them does: those of a tenth of a second, "
        "the median of all tenths; beside them the p99 of a whole turn, the median of the turns"
    )
    print(f"\nthe quietest {QUIET_SHARE:.0%} of the tenths in one pool, ms" + "".join(f"{share:>8}" for share in next(iter(found.values()))["quiet_seconds"]))
    for name, row in found.items():
        print(f"{name:45}" + "".join(f"{seconds * 1e3:8.3f}" for seconds in row["quiet_seconds"].values()))
    ours, peers = found.get("portcullis"), {name: row for name, row in found.items() if name not in ("portcullis", "pipe")}
    if ours is None:
        return
    told = [
        ("idle RSS, MiB", summary["portcullis"]["rss_idle_kib"] / 1024, 8),
        ("KiB per idle connection", ours["idle_connection_bytes"] / 1024, 4),
        ("ms to serving", ours["serving_seconds"] * 1e3, 20),
    ]
    if peers:
        best = min(peers, key=lambda name: peers[name]["p99_seconds"])
        told.append((f"p99 in ms, to {best}'s", ours["p99_seconds"] * 1e3, peers[best]["p99_seconds"] * 1e3))
    for what, value, most in told:
        print(f"{what}: {value:.2f} ({'met' if value <= most else 'misses'} {most:.2f})")
    for what, key in (("p99 of a turn", "p99_seconds_of_turns"), ("p99 of a turn's quiet tenths", "quiet_p99_seconds_of_turns")):
        for name, row in found.items():
            if row is not ours:
                ratios = [mine / theirs for mine, theirs in zip(ours[key], row[key], strict=True)]
                print(f"{what} to that of {name} in the same round: {apart(ratios)}")


def apart(ratios):
    """The median of ratios, and whether it can be told apart from 1."""
    bounds = bounds_of_median(ratios)
    if bounds is None:
        return f"{statistics.median(ratios):.3f}, too few turns for bounds"
    least, most = bounds
    verdict = "above" if least > 1 else "below" if most < 1 else "cannot be told apart"
    return f"{statistics.median(ratios):.3f}, between {least:.3f} and {most:.3f} with 95 % confidence: {verdict}"
