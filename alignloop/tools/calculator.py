"""The calculator: exact arithmetic on expressions such as `(48 / 2 + 48) * 1.5`, without running any code."""

import ast
import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction

from alignloop.tools.definition import ToolProblem, tool

LONGEST = 500  # characters of an expression
BITS = 4096  # of a numerator or denominator
DIGITS = 12  # that are shown of a number with no end
OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: lambda a, b: a % b,
}
SQUARE_ROOT = Context(prec=50)


@tool(
    "calculator",
    "Computes an arithmetic expression exactly: + - * / // % **, parentheses, abs, round, min, max, sqrt, "
    "floor, ceil.",
    {
        "type": "object",
        "properties": {"expression": {"type": "string", "description": "such as (48 / 2 + 48) * 1.5"}},
        "required": ["expression"],
        "additionalProperties": False,
    },
)
def calculator(expression: str) -> str:
    """The value of an expression as a decimal number. Raises ToolProblem where it has none."""
    if len(expression) > LONGEST:
        raise ToolProblem(f"the expression has {len(expression)} characters, at most {LONGEST} are read")
    source = expression.strip().replace("×", "*").replace("÷", "/").replace("−", "-").replace("^", "**")
    try:
        return shown(_value(ast.parse(source, mode="eval").body, source))
    except ZeroDivisionError:
        raise ToolProblem("it divides by zero") from None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolProblem("this is no arithmetic expression") from None


def shown(value: Fraction) -> str:
    """A number in decimal digits: all of them where there is an end, else the first twelve."""
    if value.denominator == 1:
        return str(value.numerator)
    numerator, denominator = Decimal(value.numerator), Decimal(value.denominator)
    found = Context(prec=60).divide(numerator, denominator)
    if Fraction(found) != value:
        whole = len(str(abs(value.numerator) // value.denominator))
        found = Context(prec=whole + DIGITS - 1).divide(numerator, denominator)
    text = f"{found:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(node: ast.expr, source: str) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _literal(ast.get_source_segment(source, node) or "")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            value = _value(node.operand, source)
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp(op=ast.Pow()):
            return _power(_value(node.left, source), _value(node.right, source))
        case ast.BinOp() if type(node.op) in OPERATORS:
            return _bounded(OPERATORS[type(node.op)](_value(node.left, source), _value(node.right, source)))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return _bounded(FUNCTIONS[name]([_value(each, source) for each in node.args]))
        case _:
            raise ToolProblem(f"{ast.unparse(node)[:60]!r} is no arithmetic")


def _literal(written: str) -> Fraction:
    """A number as it is written, where a float would be the nearest binary one."""
    exponent = written.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > BITS:
        raise ToolProblem("a number is too large")
    return _bounded(Fraction(written))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > BITS:
        raise ToolProblem("a number is too large")
    return value


def _power(value: Fraction, exponent: Fraction) -> Fraction:
    if exponent == Fraction(1, 2):
        return _root([value])
    if exponent.denominator != 1:
        raise ToolProblem("an exponent must be a whole number, or 0.5")
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if abs(exponent) > BITS or bits * abs(exponent) > 2 * BITS:
        raise ToolProblem("a number is too large")
    return _bounded(value ** int(exponent))


def _root(values: list[Fraction]) -> Fraction:
    [value] = values
    if value < 0:
        raise ToolProblem("the square root of a negative number is none")
    exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if exact * exact == value:
        return exact
    quotient = SQUARE_ROOT.divide(Decimal(value.numerator), Decimal(value.denominator))
    root = SQUARE_ROOT.sqrt(quotient)
    scale = Fraction(10) ** min(root.adjusted(), 0)  # 30 digits of a small root as well
    return (Fraction(root) / scale).limit_denominator(10**30) * scale


def _round(values: list[Fraction]) -> Fraction:
    """To the nearest, and away from zero in the middle, as people round; with a number of decimal places."""
    value, places = values if len(values) == 2 else (values[0], Fraction(0))
    if places.denominator != 1 or not 0 <= places <= 50:
        raise ToolProblem("round takes 0 to 50 decimal places")
    scale = 10 ** int(places)
    whole = math.floor(abs(value) * scale + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, scale)


FUNCTIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "abs": lambda values: abs(values[0]) if len(values) == 1 else _wrong("abs"),
    "round": lambda values: _round(values) if len(values) in (1, 2) else _wrong("round"),
    "min": lambda values: min(values) if values else _wrong("min"),
    "max": lambda values: max(values) if values else _wrong("max"),
    "sqrt": lambda values: _root(values) if len(values) == 1 else _wrong("sqrt"),
    "floor": lambda values: Fraction(math.floor(values[0])) if len(values) == 1 else _wrong("floor"),
    "ceil": lambda values: Fraction(math.ceil(values[0])) if len(values) == 1 else _wrong("ceil"),
}


def _wrong(name: str) -> Fraction:
    raise ToolProblem(f"{name} has the wrong number of arguments")
