"""The page's parts: each tab a file, and what they share. app.py puts them together."""
