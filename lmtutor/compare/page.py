def page(content):
    return ""
def body(content):
    return ""
