#!/usr/bin/env python3
"""Lists the tests of the given modules without importing them: module Class.method seconds [labels].

Time limit and labels come from the decorators of toolbox: @limit(seconds), @slow, @labelled("x").
A decorator on the class holds for its methods unless they carry their own.
"""
import ast
import pathlib
import sys

DEFAULT_SECONDS = 120


def marks(node):
    seconds, labels = None, []
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
        if name == "limit":
            seconds = decorator.args[0].value
        elif name == "slow":
            labels.append("slow")
        elif name == "labelled":
            labels.append(decorator.args[0].value)
    return seconds, labels


def tests_of(path):
    """Follows base classes inside the module, so that one body can be run against several peers."""
    tree = ast.parse(path.read_text(), str(path))
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}

    def methods(node):
        found = {}
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in classes:
                found.update(methods(classes[base.id]))
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test"):
                found[item.name] = item
        return found

    for name, node in classes.items():
        if name.startswith("_"):  # a body shared by the classes below it
            continue
        class_seconds, class_labels = marks(node)
        for method, item in methods(node).items():
            seconds, labels = marks(item)
            seconds = seconds or class_seconds or DEFAULT_SECONDS
            yield f"{name}.{method}", seconds, sorted(set(labels + class_labels))


for argument in sys.argv[1:]:
    module = pathlib.Path(argument)
    for test, limit, label_list in tests_of(module):
        print(module.stem.removeprefix("test_"), test, limit, ",".join(label_list))
