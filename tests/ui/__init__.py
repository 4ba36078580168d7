"""Prefect's pages, as a person sees and clicks them."""
