"""From the records of a run to what is reported: summary, series, requests, spans."""
