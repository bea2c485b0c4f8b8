"""Weights that are read from exported graphs, against those of the exported module."""

import io
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mmdecouple.atlas.onnx_vit import graph_tokens, vit_state, write_vit
from mmdecouple.atlas.onnx_weights import Graph, named_weights, read_onnx
from mmdecouple.utils.errors import UserError, WrongInstallation
from mmdecouple.weights.weight_files import read_weights

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
timm = pytest.importorskip('timm')


class Layer(nn.Module):
    """Block with the names of transformers' `Dinov2Layer`."""

    def __init__(self, width, heads, equal_biases):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attention = nn.ModuleDict(
            dict(
                attention=nn.ModuleDict({name: nn.Linear(width, width) for name in ('query', 'key', 'value')}),
                output=nn.ModuleDict(dict(dense=nn.Linear(width, width))),
            )
        )
        self.layer_scale1, self.layer_scale2 = (
            nn.ParameterDict(dict(lambda1=nn.Parameter(torch.rand(width)))) for _ in range(2)
        )
        self.mlp = nn.ModuleDict(dict(fc1=nn.Linear(width, 2 * width), fc2=nn.Linear(2 * width, width)))
        if equal_biases:
            # Exporters store equal constants once.
            for name in ('query', 'key', 'value'):
                nn.init.zeros_(self.attention['attention'][name].bias)

    def forward(self, x):
        y = self.norm1(x)
        parts = [self.attention['attention'][name](y) for name in ('key', 'value', 'query')]
        key, value, query = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        y = self.attention['output']['dense']((weights @ value).transpose(1, 2).flatten(2))
        x = y * self.layer_scale1['lambda1'] + x
        y = self.mlp['fc2'](nn.functional.gelu(self.mlp['fc1'](self.norm2(x))))
        return y * self.layer_scale2['lambda1'] + x


class Embeddings(nn.Module):
    def __init__(self, width, patch, grid):
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.randn(1, 1 + grid**2, width))
        self.patch_embeddings = nn.ModuleDict(dict(projection=nn.Conv2d(3, width, patch, patch)))

    def forward(self, images):
        x = self.patch_embeddings['projection'](images)
        size, tokens = x.shape[-2:], x.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], 1)
        first, rest = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        rest = rest.reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        rest = nn.functional.interpolate(rest, size=tuple(size), mode='bicubic', align_corners=False)
        return tokens + torch.cat([first, rest.permute(0, 2, 3, 1).flatten(1, 2)], 1)


class Saliency(nn.Module):
    """ViT under a prefix with a decoder after it."""

    def __init__(self, width=48, heads=3, layers=3, patch=7, grid=4, equal_biases=False):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.embeddings = Embeddings(width, patch, grid)
        self.backbone.encoder = nn.ModuleDict(
            dict(layer=nn.ModuleList(Layer(width, heads, equal_biases) for _ in range(layers)))
        )
        self.backbone.layernorm = nn.LayerNorm(width, 1e-6)
        self.decoder = nn.Linear(width, 1)

    def tokens(self, images):
        x = self.backbone.embeddings(images)
        for layer in self.backbone.encoder['layer']:
            x = layer(x)
        return self.backbone.layernorm(x)

    def forward(self, images):
        return self.decoder(self.tokens(images)[:, 1:]).sigmoid()


def exported(model, path, images, **options):
    content = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(model.eval(), images, content, dynamo=False, input_names=['input_image'], **options)
    path.write_bytes(content.getvalue())
    return path


def timm_vit(width=48, heads=3, layers=3, patch=7, grid=4):
    return timm.models.vision_transformer.VisionTransformer(
        patch * grid, patch, num_classes=0, embed_dim=width, depth=layers, num_heads=heads, mlp_ratio=2, init_values=1.0
    )


@pytest.mark.parametrize('equal_biases', [False, True], ids=['', 'equal biases'])
@pytest.mark.filterwarnings('ignore')
def test_the_vit_of_a_graph_has_the_tokens_of_the_exported_module(tmp_path, equal_biases):
    torch.manual_seed(0)
    model = Saliency(equal_biases=equal_biases)
    axes = dict(input_image={0: 'batch', 2: 'height', 3: 'width'})
    path = exported(model, tmp_path / 'a.onnx', torch.rand(1, 3, 28, 28), dynamic_axes=axes)
    rebuilt = timm_vit()
    assert write_vit(path, tmp_path / 'a.safetensors', rebuilt) < 1e-5
    images = torch.randn(3, 3, 28, 28)
    other = timm_vit().eval()
    other.load_state_dict(read_weights(str(tmp_path / 'a.safetensors')))
    with torch.no_grad():
        torch.testing.assert_close(other.forward_features(images), model.tokens(images), atol=1e-5, rtol=1e-5)
    # The graph can also be asked for other sizes, at which its own interpolation is used.
    proto = read_onnx(path)
    images = torch.randn(1, 3, 42, 21)
    with torch.no_grad():
        expected = model.tokens(images).numpy()
    np.testing.assert_allclose(graph_tokens(proto, Graph(proto), images.numpy()), expected, atol=1e-4)


@pytest.mark.filterwarnings('ignore')
def test_a_graph_of_timm_is_read_by_its_own_names(tmp_path):
    torch.manual_seed(0)
    model = timm_vit()
    for value in model.parameters():
        nn.init.normal_(value, std=0.3)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, images):
            return self.net.forward_features(images)

    path = exported(Tokens(), tmp_path / 'a.onnx', torch.rand(1, 3, 28, 28))
    found = vit_state(Graph(read_onnx(path)))
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


def matmul_graph(bias_names):
    """Inputs multiplied by one weight for each bias."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, weights, source = [], [], 'x'
    for index, bias in enumerate(bias_names):
        weight = np.random.default_rng(index).normal(size=(4, 4)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f'onnx::MatMul_{index}'))
        nodes.append(helper.make_node('MatMul', [source, f'onnx::MatMul_{index}'], [f'/m{index}']))
        nodes.append(helper.make_node('Add', [bias, f'/m{index}'], [f'/a{index}']))
        source = f'/a{index}'
    biases = [numpy_helper.from_array(np.ones(4, np.float32), name) for name in dict.fromkeys(bias_names)]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['n', 4]) for name in ('x', source)]
    graph = helper.make_graph(nodes, 'g', ends[:1], ends[1:], [*weights, *biases])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 14)], ir_version=8)


def test_an_anonymous_weight_takes_the_name_of_the_bias_that_is_added():
    found = named_weights(Graph(matmul_graph(['a.fc1.bias', 'a.fc2.bias'])))
    assert found.keys() == {'a.fc1.bias', 'a.fc2.bias', 'a.fc1.weight', 'a.fc2.weight'}
    np.testing.assert_array_equal(found['a.fc2.weight'], np.random.default_rng(1).normal(size=(4, 4)).astype('f').T)


def test_two_weights_with_one_bias_are_refused():
    with pytest.raises(UserError, match=r'two linear layers add the bias a\.bias'):
        named_weights(Graph(matmul_graph(['a.bias', 'a.bias'])))


@pytest.mark.filterwarnings('ignore')
def test_a_graph_that_computes_something_else_is_refused(tmp_path):
    torch.manual_seed(0)
    path = exported(Saliency(heads=3), tmp_path / 'a.onnx', torch.rand(1, 3, 28, 28))
    with pytest.raises(UserError, match='differ from the graph by'):
        write_vit(path, tmp_path / 'a.safetensors', timm_vit(heads=4))
    with pytest.raises(UserError, match='does not fit'):
        write_vit(path, tmp_path / 'a.safetensors', timm_vit(layers=4))
    assert not (tmp_path / 'a.safetensors').exists()


@pytest.mark.parametrize('content', [b'', b'not a graph', bytes(100)])
def test_a_file_that_is_no_graph_is_one_line(tmp_path, content):
    (tmp_path / 'a.onnx').write_bytes(content)
    with pytest.raises(UserError, match=r'a\.onnx is not a valid ONNX file'):
        read_onnx(tmp_path / 'a.onnx')


def test_weights_in_other_files_are_refused(tmp_path):
    model = matmul_graph(['a.bias'])
    onnx.external_data_helper.convert_model_to_external_data(model, location='other.bin', size_threshold=0)
    for tensor in model.graph.initializer:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField('raw_data')
        tensor.external_data[0].value = '/etc/passwd'
    (tmp_path / 'a.onnx').write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match='in other files|not a valid ONNX file'):
        read_onnx(tmp_path / 'a.onnx')


def test_a_missing_package_is_one_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(WrongInstallation, match='pip install onnx onnxruntime'):
        read_onnx(tmp_path / 'a.onnx')
