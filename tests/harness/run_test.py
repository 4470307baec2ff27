#!/usr/bin/env python3
"""run_test.py FILE [Class[.method]]: runs tests of one module; exit 77 when all of them were skipped."""
import importlib.util
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


def main():
    path = pathlib.Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    loader = unittest.defaultTestLoader
    if len(sys.argv) > 2:
        suite = loader.loadTestsFromNames(sys.argv[2:], module)
    else:
        # A class whose name begins with _ is a body shared by those below it.
        suite = unittest.TestSuite(
            loader.loadTestsFromTestCase(thing) for name, thing in vars(module).items()
            if isinstance(thing, type) and issubclass(thing, unittest.TestCase)
            and thing.__module__ == module.__name__ and not name.startswith("_"))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"SKIPPED: {reason}")
    if not result.wasSuccessful() or result.testsRun == 0:
        return 1
    return 77 if len(result.skipped) == result.testsRun else 0


sys.exit(main())
