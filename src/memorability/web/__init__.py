"""`memorability serve`: the page and the JSON API that score a user's own pictures and clips."""
