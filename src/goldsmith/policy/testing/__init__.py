"""Tables of cases for policies: what they say, running them, and what they leave unseen."""
