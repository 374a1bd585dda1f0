"""What losses ask of their inputs: torch would broadcast what does not belong together."""

from torch import Tensor

from dense_cl.errors import DenseCLError


def check_alike(dimensions: int, **tensors: Tensor | None) -> None:
    """Check that tensors have one shape.

    Args:
        dimensions: how many it has.
        tensors: by what messages call them; None is passed over.

    Raises:
        DenseCLError: names two that differ, or one of another number of dimensions.
    """
    given = {name: tuple(value.shape) for name, value in tensors.items() if value is not None}
    first = next(iter(given))
    for name, shape in given.items():
        if len(shape) != dimensions or shape != given[first]:
            like = "" if name == first else f", like {first}: {given[first]}"
            raise DenseCLError(
                f"{name} has the shape {shape}; it must be of {dimensions} dimensions{like}."
            )


def check_temperature(temperature: float) -> None:
    """Check that similarities can be divided by a temperature.

    Raises:
        DenseCLError: it is not above 0.
    """
    if not temperature > 0:
        raise DenseCLError(f"the temperature is {temperature}; it must be above 0.")
