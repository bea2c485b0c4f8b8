"""Tests that are skipped with the original OpenMMLab packages and torch 2.1 (`make test-classic`), with the reasons."""

_GRADIENTS = 'tests/test_engine/test_gradients.py::test_'
_WRAPPER = 'tests/test_engine/test_optim_wrapper.py::test_'
# Reason -> starts of the names of tests, as pytest prints them.
SKIPS = {
    'torch before 2.3 has no float16 on a CPU, which PrecisionOptimWrapper refuses': (
        f'{_WRAPPER}forward_runs_in_the_chosen_precision_and_weights_stay_in_float32[fp16',
        f'{_WRAPPER}fp16_steps_on_the_cpu_as_fp32_does_and_leaves_out_a_step_that_overflows',
        f'{_GRADIENTS}steps_that_fp16_leaves_out_are_counted_and_the_teacher_waits',
        f'{_GRADIENTS}a_collapsed_scale_of_fp16_ends_the_run',
    ),
    'torch before 2.4 has fused optimizers on CUDA only': (
        f'{_GRADIENTS}a_checkpoint_brings_no_kernels_of_another_machine',
        f'{_GRADIENTS}the_device_leaves_the_step_out_and_the_run_ends_at_the_next_look[settled by the next step-AdamW',
        f'{_GRADIENTS}the_device_leaves_the_step_out_and_the_run_ends_at_the_next_look[settled at the end-AdamW',
    ),
    'SGD of torch before 2.3 has no fused kernels': (
        f'{_GRADIENTS}the_device_leaves_the_step_out_and_the_run_ends_at_the_next_look[settled by the next step-SGD',
        f'{_GRADIENTS}the_device_leaves_the_step_out_and_the_run_ends_at_the_next_look[settled at the end-SGD',
        f'{_GRADIENTS}a_checkpoint_settles_the_step_before_it',
        f'{_WRAPPER}an_optimizer_on_a_gpu_takes_fused_kernels_unless_the_config_chose[SGD',
    ),
}
