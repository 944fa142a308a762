"""Training from a file of five times as many rows takes no more memory: bench/million_rows.py, scaled down."""
import pathlib
import sys
import tempfile

from masbak_oracle import SOURCE, main

sys.path.insert(0, str(SOURCE / "bench"))
import million_rows

MOST_MORE_BYTES = 12e6  # for 40,000 rows more, 40 MB: what the order of the rows takes, and what the allocator keeps


def test_memory_does_not_grow_with_the_file():
    with tempfile.TemporaryDirectory(prefix="masbak-memory-") as name:
        folder = pathlib.Path(name)
        model = million_rows.tiny_model(folder / "model")
        peaks = {}
        for rows in (10_000, 50_000):
            data = folder / f"{rows}.jsonl"
            bad = million_rows.make_file(data, rows, 1000, bad=500)
            first = million_rows.train(model, data, folder, f"{rows}-first", steps=3)
            again = million_rows.train(model, data, folder, f"{rows}-again", steps=3)
            print("  " + million_rows.account(folder / f"{rows}-first", rows, bad))
            peaks[rows] = first["anon"], again["anon"]
            print(f"  {rows} rows: RssAnon {first['anon'] / 1e6:.0f} MB, again {again['anon'] / 1e6:.0f} MB")
        for small, large in zip(peaks[10_000], peaks[50_000]):
            assert large - small < MOST_MORE_BYTES, peaks


if __name__ == "__main__":
    main(globals())
