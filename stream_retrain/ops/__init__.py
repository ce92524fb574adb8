"""What an operator installs beside a worker: alert rules and scrape settings for Prometheus, dashboards and provisioning for Grafana.

They are files of this package, so that those of a release fit its metrics. The dashboards are generated (`make dashboards`), the rules
are written by hand.
"""

from stream_retrain.ops.files import DASHBOARDS, RULES, export_dashboards, export_rules, rules_text

__all__ = ["DASHBOARDS", "RULES", "export_dashboards", "export_rules", "rules_text"]
