"""Model families: one file each, and the file's name is what `family:` says.

Every family has `Params`, its settings, and `READS`: "features", "pictures" or "nothing".

A closed-form family has
    fit(settings, x, y)              -> state: dict of arrays
    predict(settings, state, x)      -> scores, float [N]

A gradient family has
    SELECTION                        the validation measure that picks the best epoch (higher is better)
    measure(truth, prediction)       -> dict of validation measures, SELECTION among them
    build(settings, backbone)        -> nn.Module (`backbone` is a loaded network or None)
    optimisers(settings, net)        -> dict of name -> torch optimiser
    step(settings, net, batch, optimisers, backward) -> dict of losses; it makes its own updates
    predict(settings, net, batch)    -> scores, float [B]
and may have
    constant(net, x)                 -> what a frozen part makes of x, [B, D]: computed once for each
                                     picture and given to step and predict as batch["constant"]

A batch is a dict: "x" float (pixels in [0, 1]), "y" float [B] (in training) and "constant".
"""
