# SPDX-License-Identifier: BSD-2-Clause
"""A worker's first load when it quits already."""

from __future__ import annotations

from .conftest import NewNginx


def test_the_shutdown_timeout_ends_its_calls(new_nginx: NewNginx) -> None:
    with new_nginx(main="worker_shutdown_timeout 300ms;") as nginx:
        nginx.lua(
            """
            ngx.timer.at(0, function()
                while not ngx.worker.exiting() do
                    ngx.sleep(0.01)
                end
                local rt = require("probe").load()
                ngx.log(ngx.NOTICE, "late: ",
                        select(2, rt:call("hold", { timeout = 0 })))
            end)
            """
        )
        nginx.quit()
        nginx.wait()
        nginx.wait_log("late: shutting down")
