"""One step of each optimizer. Arrays in, new arrays out; the native updates change theirs in place.

`scale` multiplies the gradient first (global-norm clipping passes its factor there). Weight decay is added to
the gradient, or with `decoupled` shrinks the parameters by themselves (AdamW).
"""

import numpy as np

from reference.sequences import as_float64


def adam_update(
    params,
    grads,
    m,
    v,
    *,
    step,
    lr,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    decoupled=False,
    scale=1.0,
):
    """Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019); `step` counts from 1.

    Returns the new params, m and v.
    """
    params, grads, m, v = (as_float64(a) for a in (params, scale * as_float64(grads), m, v))
    if decoupled:
        params = params - lr * weight_decay * params
    else:
        grads = grads + weight_decay * params
    m = beta1 * m + (1.0 - beta1) * grads
    v = beta2 * v + (1.0 - beta2) * grads**2
    m_hat = m / (1.0 - beta1**step)
    v_hat = v / (1.0 - beta2**step)
    return params - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def sgd_update(params, grads, velocity, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0, scale=1.0):
    """Gradient descent with momentum; the learning rate stays outside the velocity.

    Returns the new params and velocity.
    """
    params, velocity = as_float64(params), as_float64(velocity)
    grads = scale * as_float64(grads) + weight_decay * params
    velocity = momentum * velocity + grads
    direction = grads + momentum * velocity if nesterov else velocity
    return params - lr * direction, velocity


def squared_norm(flat):
    """Sum of squares."""
    return float(np.sum(as_float64(flat) ** 2))
