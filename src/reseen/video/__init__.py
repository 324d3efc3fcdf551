"""Video in: a camera's films become tracklets of people, which every other command reads."""
