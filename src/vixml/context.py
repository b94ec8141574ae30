"""The context of a run: which parameters its catalogue holds."""

from __future__ import annotations

from typing import Any

from kedro.framework.context import KedroContext

from vixml.pipeline_registry import register_pipelines


class ProjectContext(KedroContext):
    """Kedro's context; of the settings within sections, only those that a pipeline reads are in the catalogue.

    Kedro makes a data set of every setting within a section, 2,300 here, each time a run starts.
    """

    def _get_parameters(self) -> dict[str, Any]:
        read = {name for pipeline in register_pipelines().values() for name in pipeline.inputs()}
        parameters = super()._get_parameters()
        return {name: value for name, value in parameters.items() if "." not in name or name in read}
