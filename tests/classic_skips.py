"""Tests that are skipped with the original OpenMMLab packages and torch 2.1 (`make test-classic`), with the reasons."""

_ARCHS = 'tests/test_downstream/test_archs.py::test_'
_CONFIGURATION = 'tests/test_configuration'
_DEVICE = 'tests/test_models/test_device.py::test_'
_GRADIENTS = 'tests/test_engine/test_gradients.py::test_'
_WRAPPER = 'tests/test_engine/test_optim_wrapper.py::test_'
# Reason -> starts of the names of tests, as pytest prints them.
SKIPS = {
    'torch before 2.3 has no float16 on a CPU, which PrecisionOptimWrapper refuses': (
        'tests/test_downstream/test_float_parts.py::test_boxes_and_sampling_keep_their_precision[dtype1',
        f'{_WRAPPER}forward_runs_in_the_chosen_precision_and_weights_stay_in_float32[fp16',
        f'{_WRAPPER}fp16_steps_on_the_cpu_as_fp32_does_and_leaves_out_a_step_that_overflows',
        f'{_GRADIENTS}steps_that_fp16_leaves_out_are_counted_and_the_teacher_waits',
        f'{_GRADIENTS}a_collapsed_scale_of_fp16_ends_the_run',
    ),
    'torch before 2.5 loses the hooks of optimizers when it compiles; the key compile is refused': (
        'tests/test_models/test_dense_maps.py::test_stochastic_depth_does_not_break_the_graph_of_a_compiled_block',
        f"{_CONFIGURATION}/test_right_configs.py::test_an_override_that_is_read_passes[{{'compile",
        f'{_CONFIGURATION}/test_wrong_configs.py::test_a_wrong_value_is_refused_before_anything_is_built[compile.modes',
        'tests/integration/test_training_options.py::test_option_goes_the_same_way_within_its_rounding[compile',
        'tests/integration/test_vit_options.py::test_a_compiled_step_loses_the_same_and_its_network_is_one_graph',
    ),
    'kernels of the device meta are missing in torch 2.1': (
        f'{_DEVICE}a_step_reads_nothing_on_the_host_and_mixes_no_devices[iBOT',
        f'{_DEVICE}a_step_reads_nothing_on_the_host_and_mixes_no_devices[PLRC',
        f'{_ARCHS}every_head_takes_the_maps_of_the_network_that_the_table_describes[coco-cascade-vit',
        f'{_DEVICE}a_step_of_socos_lars_reads_nothing_on_the_host_either',
    ),
    'pathlib of Python 3.10 keeps functions of os that the tool for kills replaces': (
        'tests/test_tools/test_chaos.py::test_every_change_of_the_folder_is_listed_and_nothing_else',
        'tests/test_tools/test_chaos.py::test_the_process_dies_where_it_is_planned',
        'tests/test_tools/test_chaos.py::test_the_kernel_sees_the_same_operations',
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
