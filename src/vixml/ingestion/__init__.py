"""From raw files of any format to items, relevance, filters and a data report."""
