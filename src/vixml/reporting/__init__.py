"""Tables and figures of results: pandas frames and plotly figures, no files."""
