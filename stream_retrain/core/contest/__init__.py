"""Who serves and who may: challengers and how they are trained, the duel and its evidence, and the succession."""
