"""The tabs of the page, each a file: none imports another."""
