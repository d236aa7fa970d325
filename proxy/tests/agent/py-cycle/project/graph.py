def order(needs):
    """Names in an order in which each comes after what it needs."""
    done = []
    for name, required in needs.items():
        done.extend(r for r in required if r not in done)
        done.append(name)
    return done
