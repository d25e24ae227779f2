"""PyTorch's compilers and transforms on a GPU: the tests of ../test_pytorch.py, with tensors made
there."""

import pytest
from test_pytorch import (  # noqa: F401
    test_activation_checkpointing,
    test_an_ensemble_of_modules,
    test_backward_is_the_engines,
    test_compiled_training,
    test_compiled_transform_of_torch_func,
    test_deterministic,
    test_exported_program_trains,
    test_forward_mode_without_torch_func,
    test_inductor_trains,
    test_modes_and_subclasses_see_the_operator,
    test_other_batches_compile_once_more_at_most,
    test_per_image_gradients_of_filters,
    test_saves_its_input_and_nothing_else,
    test_transformed_function,
    test_transforms_of_torch_func_reach_the_engine,
    test_vmap_of_the_stages,
    test_vmap_over_filters,
)

pytestmark = pytest.mark.usefixtures("made_there")
