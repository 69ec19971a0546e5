"""`zoo cache`: show and free the disk space of decoded images and features."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.data.feature_cache import FeatureFile
    from zoo.data.store_cache import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo cache`."""
    parser.add_argument("--clear", action="store_true", help="remove everything that no running process uses")


def run(options: argparse.Namespace) -> int:
    """Print a table of the pixel stores and a table of the features, or remove all that are not in use.

    Raises:
        ZooError: ZOO_CACHE_LIMIT is not a size.
    """
    from zoo.data import feature_cache, store_cache
    from zoo.system.files import cache_root

    found, left = store_cache.stores(), store_cache.leftovers()
    place = cache_root() / "pixels"
    if options.clear:
        print(clear(found))
        return 0
    for text in table(found):
        print(text)
    total = sum(store.size for store in found)
    count = f"{len(found)} pixel store{'s' * (len(found) != 1)}"
    print(f"{count}, {total / 1e6:,.0f} MB of at most {store_cache.limit() / 1e6:,.0f} MB, in {place}")
    if left:
        print(f"{len(left)} half-written, removed by --clear")
    features = feature_cache.files()
    if features:
        print()
        for text in feature_table(features):
            print(text)
        total, most = sum(file.size for file in features), feature_cache.MOST_BYTES
        count = f"{len(features)} file{'s' * (len(features) != 1)} of features"
        print(f"{count}, {total / 1e6:,.0f} MB of at most {most / 1e6:,.0f} MB, in {feature_cache.folder()}")
    return 0


def clear(found: list[Store]) -> str:
    """Remove unused stores, all features and half-written stores; return a line that says how much was freed."""
    from zoo.data import feature_cache, store_cache

    freed, used = 0, []
    for store in found:
        if store.remove():
            freed += store.size
        else:
            used.append(store)
    freed += store_cache.remove_leftovers()
    freed += feature_cache.clear()
    kept = f"; kept {len(used)} in use ({sum(store.size for store in used) / 1e6:,.0f} MB)" if used else ""
    return f"freed {freed / 1e6:,.0f} MB in {feature_cache.folder().parent}{kept}"


def table(found: list[Store]) -> list[str]:
    """Return the lines of the table of stores, the most recently used first; empty if there are no stores."""
    from zoo.system.table import MISSING, Column, align

    def used(store: Store) -> str:
        return f"{date(store.used)} (in use)" if store.in_use() else date(store.used)

    columns = [
        Column("images of", lambda store: store.source or MISSING, left=True),
        Column("images", lambda store: f"{store.images:,}"),
        Column("side px", lambda store: store.side),
        Column("MB", lambda store: f"{store.size / 1e6:,.1f}"),
        Column("last used", used, left=True),
    ]
    return align(list(reversed(found)), columns, gap="  ") if found else []


def feature_table(found: list[FeatureFile]) -> list[str]:
    """Return the lines of the table of features, the most recently used first."""
    from zoo.system.table import Column, align

    columns = [
        Column("features of", lambda file: file.data, left=True),
        Column("by", lambda file: file.backbone, left=True),
        Column("images", lambda file: f"{file.images:,}"),
        Column("px", lambda file: file.image_size),
        Column("features", lambda file: f"{file.width:,}"),
        Column("MB", lambda file: f"{file.size / 1e6:,.1f}"),
        Column("last used", lambda file: date(file.used), left=True),
    ]
    return align(list(reversed(found)), columns, gap="  ")


def date(seconds: float) -> str:
    """Return a time in seconds since 1970 as the local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
