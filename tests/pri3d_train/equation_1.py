import numpy as np


def brute_force(query, key, valid, temperature):
    """Equation 1 in float64, one match at a time."""
    losses = []
    for q, k, rows in zip(query, key, valid, strict=True):
        q, k = q[rows], k[rows]
        if len(q) == 0:
            continue
        q, k = q / np.linalg.norm(q, axis=1, keepdims=True), k / np.linalg.norm(k, axis=1, keepdims=True)
        total = 0.0
        for i in range(len(q)):
            forward = np.exp([q[i] @ k[j] / temperature for j in range(len(q))])
            backward = np.exp([q[j] @ k[i] / temperature for j in range(len(q))])
            total -= 0.5 * (np.log(forward[i] / forward.sum()) + np.log(backward[i] / backward.sum()))
        losses.append(total / len(q))
    return np.mean(losses) if losses else 0.0
