"""The report as one HTML page that needs nothing else: inline SVG plots, pictures as data URIs.

Plain strings and `html.escape`: the page is a dozen tables and plots, and a template engine would be one more
dependency to escape them with.
"""
