"""The page: tabs/, the panels and the work that they share, and assets/. app.py puts them together."""
