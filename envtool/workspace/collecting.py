"""Forgetting generations, and deleting what nothing needs any more."""

import os
import time
from typing import TYPE_CHECKING

from envtool.machine.project import Project
from envtool.workspace.entering import Entering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.collecting.caches import Idle
    from envtool.machine.collecting.gc import Collected, GcPlan
    from envtool.machine.collecting.retention import Pruned, Retention

__all__ = ["Collecting"]


class Collecting(Entering):
    """What may go."""

    def prune(
        self, retention: "Retention", project: Project | None = None, *, dry_run: bool = False
    ) -> "list[Pruned]":
        """Forget generations that may go, of one project's environment or of all of the root.

        Return them; `dry_run` changes nothing.

        :raises ProfileError: a profile cannot be changed.
        """
        from envtool.machine.collecting import retention as retaining

        if project is None:
            profiles = retaining.find_profiles(self.settings)
        else:
            profiles = iter([(os.path.abspath(project.path), self.profile(project))])
        return retaining.prune(profiles, retention, time.time(), dry_run=dry_run)

    def forget_gone(self, *, dry_run: bool = False) -> "list[Pruned]":
        """Forget all generations of environments whose declaration is gone; return them."""
        from envtool.machine.collecting import data
        from envtool.machine.collecting.retention import forget_gone

        if not dry_run:
            data.forget_gone(self.settings)
        return forget_gone(self.settings, dry_run=dry_run)

    def gc_plan(self, pruned: "Iterable[Pruned]" = (), *, max_freed: int | None = None) -> "GcPlan":
        """Return what nothing needs any more, once these generations are forgotten."""
        from envtool.machine.collecting import gc
        from envtool.machine.collecting.roots import find_roots

        links = {each.link for each in pruned}
        roots = [root for root in find_roots(self.settings) if root.source not in links]
        return gc.plan(self.store, roots, max_freed=max_freed)

    def collect(self, *, max_freed: int | None = None) -> "Collected":
        """Delete what nothing needs any more; with `max_freed` no more than frees so many bytes."""
        from envtool.machine.collecting import gc
        from envtool.reporting import Step

        def expect(count: int, size: int | None) -> None:
            self.reporter.expect("collect", count, size)

        def deleted(name: str, size: int) -> None:
            step = Step("collect", name, size)
            self.reporter.start(step)
            self.reporter.advance(step, size)
            self.reporter.finish(step)

        return gc.collect(
            self.store,
            max_freed=max_freed,
            on_found=expect,
            on_deleted=deleted,
            on_wait=self.reporter.note,
        )

    def idle_caches(self, gone: "Iterable[StorePath]" = ()) -> "tuple[Idle, ...]":
        """Return what of the cache is of no use, once these store paths are gone."""
        from envtool.machine.collecting import caches

        return caches.find(self.store, gone, time.time())

    def drop_caches(self) -> "tuple[Idle, ...]":
        """Delete what of the cache is of no use, and return it."""
        from envtool.machine.collecting import caches

        return caches.drop(self.store, time.time())
