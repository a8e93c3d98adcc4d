def check(stack, local, environment, lines):
    pass
