"""Results as JUnit XML, which CI systems read."""

from collections.abc import Iterable
from xml.etree import ElementTree

from goldsmith.policy.testing.model import CaseResult, SuiteResult, Verdict


def to_junit(suites: Iterable[SuiteResult]) -> str:
    """One `testsuite` a table and one `testcase` a case; an excluded one is skipped, with its justification.

    A table whose cases see too little of the rule has one failed case `coverage` more.
    """
    root = ElementTree.Element("testsuites")
    for suite in suites:
        failed = len(suite.failed) + suite.too_little_seen
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=_printable(suite.name),
            tests=str(len(suite.results) + suite.too_little_seen),
            failures=str(failed),
            errors="0",
            skipped=str(suite.count(Verdict.EXCLUDED)),
            time=f"{sum(result.seconds for result in suite.results):.6f}",
        )
        for result in suite.results:
            _add_case(element, suite, result)
        if suite.too_little_seen:
            case = ElementTree.SubElement(
                element, "testcase", classname=_printable(suite.name), name="coverage", time="0"
            )
            share = suite.coverage or 0.0
            message = f"the cases see {share:.0%} of the branches, expected {suite.coverage_min:.0%}"
            ElementTree.SubElement(case, "failure", message=message).text = "\n".join(
                f"{each.at}: {_printable(each.text)}: never {' nor '.join(each.missing)}"
                for each in suite.branches
                if each.missing
            )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite_element: ElementTree.Element, suite: SuiteResult, result: CaseResult) -> None:
    element = ElementTree.SubElement(
        suite_element,
        "testcase",
        classname=_printable(suite.name),
        name=_printable(result.name),
        time=f"{result.seconds:.6f}",
    )
    if result.verdict is Verdict.FAILED:
        failure = ElementTree.SubElement(element, "failure", message=_printable(result.problems[0]))
        failure.text = _printable("\n".join((*result.problems, result.explanation)).strip())
    elif result.verdict is Verdict.EXCLUDED:
        ElementTree.SubElement(element, "skipped", message=_printable(result.reason))


def _printable(text: str) -> str:
    # XML 1.0 has no way to write these characters at all.
    return "".join(
        char
        if char in "\t\n\r" or "\x20" <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
        else "\ufffd"
        for char in text
    )
