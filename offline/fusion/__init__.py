"""Training what joins the scores of several models. The night imports none of it."""
